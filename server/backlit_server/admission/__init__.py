"""What happens to an uploaded file before anyone trusts it."""
