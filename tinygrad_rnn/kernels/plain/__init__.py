"""What every array's own library computes, operation by operation; the definition of what other backends compute."""
