"""Our ways beside plain ones: time, memory and agreement, measured in one run."""
