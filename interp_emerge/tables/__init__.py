"""What a table is (columns, units, meaning), reading and writing it."""
