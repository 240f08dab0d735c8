"""The nouns: frozen values and the protocols between the layers. No behaviour beyond their own arithmetic, no I/O."""
