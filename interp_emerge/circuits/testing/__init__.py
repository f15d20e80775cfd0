"""The claim that a circuit carries an ability, put to the test: minimality, completeness, backups, hypothesis tests."""
