"""What workflows ask of the world: one class per set of dependencies, its methods are the activities."""
