"""The six families of section 3.2, a module each: from a kind and its draws to an unfinished sample."""
