"""Which images stand for the source at each yaw, and what they look like on average."""
