"""Text and series from a model.

`generate` (`tokens`), `generate_text` (`text`), `greedy_search` (`greedy`), `beam_search` (`search`); the distribution
that is drawn from (`sampling`), and what changes it (`steering`); the prompt, which all of them run first (`prompts`).
`forecast`, for numbers.
"""
