// The start of every page: theme and language first, then the application.
import { mount } from 'svelte';
import './lib/tokens.css';
import App from './App.svelte';
import { firstLocale, setLocale } from './lib/i18n.svelte';
import { applyTheme } from './lib/theme.svelte';

applyTheme();
await setLocale(firstLocale(), false);
mount(App, { target: document.getElementById('app')! });
