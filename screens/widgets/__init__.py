"""The parts the screens are composed of. Each shows data it is given and tells what happens to it
by messages; none knows where the data come from."""
