"""Scene family: flowcharts."""
