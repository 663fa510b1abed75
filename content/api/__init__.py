"""How machines ask for the verbs of this room, and read its rows."""
