"""The admin socket: frames, who may, and dispatch. It is given its methods and knows no domain."""
