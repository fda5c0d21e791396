"""How the two Spark Connect engines are started."""
