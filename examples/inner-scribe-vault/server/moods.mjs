/** What a person may choose from; the page shows them in this order. */
export const moods = ['joyful', 'grateful', 'calm', 'tired', 'anxious', 'sad'];
