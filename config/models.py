"""No tables of its own. Django sends post_migrate only to apps with this module, and `config.apps` waits for it."""
