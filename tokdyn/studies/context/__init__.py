"""Tokens that depend on context: senses on held-out sentences, sentences as patterns, a vocabulary that changes."""
