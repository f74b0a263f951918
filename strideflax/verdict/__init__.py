"""A verdict on somebody's own images: which runs the time allows, how many are enough, and what they say."""
