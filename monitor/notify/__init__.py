"""Tell: letters as people read them, and the way they leave."""
