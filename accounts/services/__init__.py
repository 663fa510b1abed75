"""What is done to and by people, one function for each verb."""
