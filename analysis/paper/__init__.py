"""The paper's tables as experiments: each asks for steps and says what came of its claim.

An experiment is a generator. It yields the step whose rows it wants next and is sent them, so
whoever drives it decides where they come from: the model, or a session that has them already.
"""
