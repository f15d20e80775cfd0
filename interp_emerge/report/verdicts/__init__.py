"""Verdicts as tables for the page: one row for each size, each pair of sizes, or each ability."""
