"""What a file's compressed sound says without being decoded: sizes of packets and, of AAC, how loud they are."""
