"""What starts work by itself: new objects in landing."""
