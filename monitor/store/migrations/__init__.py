"""The store's schema, step by step. Run by monitor.store.migrate; never by importing it."""
