"""REHEARSE: a simulated Graph and a real mailbox on loopback, to try everything on."""
