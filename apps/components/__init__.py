"""What pages show of one problem: its header, the picture that moves with the thoughts, the tabs below it."""
