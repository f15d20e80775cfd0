"""Circuits as tested claims: finding them, running them, testing them, and the roles of their heads."""
