"""Scene family: spine X-rays."""
