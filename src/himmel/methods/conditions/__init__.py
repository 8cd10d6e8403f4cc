"""Five ways to show a video as eight pictures: frames, motion maps and residual maps (report, appendix S)."""
