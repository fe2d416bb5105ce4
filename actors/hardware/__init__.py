"""What stands beside the sound: an amplifier, a crystal grid, a bass shaker; behind a serial port, or simulated."""
