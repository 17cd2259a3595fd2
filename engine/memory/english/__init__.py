"""A small grammar of English: words, their tags, noun phrases and clauses. It knows the closed classes in full."""
