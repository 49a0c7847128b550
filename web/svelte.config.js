// How the Svelte compiler is set: runes everywhere, so that old-style components fail at build.
export default { compilerOptions: { runes: true } };
