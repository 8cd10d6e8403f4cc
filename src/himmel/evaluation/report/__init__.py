"""Tables and figures of the report, rebuilt from result files."""
