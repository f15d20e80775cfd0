"""Circuits as tested claims: selection, evaluation by ablating everything outside, roles of heads."""
