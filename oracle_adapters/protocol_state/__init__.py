"""What lending protocols hold on chain at one block: parameters in force, when they changed, who holds what."""
