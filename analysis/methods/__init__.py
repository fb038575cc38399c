"""The analyses themselves. A method takes plain values and a model, and knows no step."""
