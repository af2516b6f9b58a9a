"""What hits show: their values for library users."""
