"""Tables of predictions from anywhere: read in few bytes, then checked, column by column."""
