"""Ask: put the question to the issuer and read what it says about a token."""
