"""Video, sound and subtitles, in the worker process."""
