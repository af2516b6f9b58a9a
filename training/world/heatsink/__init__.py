"""Scene family: heat-sink drawings."""
