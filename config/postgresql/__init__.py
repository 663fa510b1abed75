"""Django's PostgreSQL backend, with the schema spelled as the specifications spell it."""
