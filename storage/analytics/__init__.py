"""The schema ``analytics``: who may read it, questions in SQL, and exports."""
