"""What several tests share: golden files, network namespaces, child programs, waiting."""
