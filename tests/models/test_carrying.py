"""A state that a module returns is found by the argument that takes it again."""
