"""The business rules, and nothing else."""
