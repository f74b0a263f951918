"""What accuracy hides: each measure a function of a model and images, its protocol stated with the number."""
