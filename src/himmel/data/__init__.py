"""Video files in bulk: what a folder holds, read by processes that one bad file can't take down."""
