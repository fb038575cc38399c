"""What a model is asked: prompts with answers, built-in tasks, files of cases."""
