"""What a person sees on a terminal: aligned, coloured, in units that read well."""
