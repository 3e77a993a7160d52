"""Words from a language model in place of templates, but only where they say the same (section 3.2)."""
