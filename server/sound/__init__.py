"""Sound as bytes: frames for listeners, files, what plays it. What sounds is ``actors.audio``'s to say."""
