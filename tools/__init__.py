"""What an agent can do: one module a tool, plus evidence, citation and box logic."""
